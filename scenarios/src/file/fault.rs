//! Faults as written: one key for each kind, and what it needs to know.

use schemars::JsonSchema;
use serde::Deserialize;
use units::{Bytes, Distribution, Millicores};

use crate::word::{At, ErrorStatus, Moment, Percent, Span};

/// Something that goes wrong: when, for how long, and exactly one of the other keys.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct FaultFile {
    /// Its name, for expectations; needed only if two faults are of the same kind.
    #[serde(default)]
    pub(crate) name: Option<At<String>>,
    /// When it begins.
    pub(crate) at: At<Moment>,
    /// How long it lasts; to the end of the run if left out.
    #[serde(default)]
    pub(crate) lasts: Option<At<Span>>,
    /// Pods are deleted.
    #[serde(default)]
    pub(crate) pod_kill: Option<PodKillFile>,
    /// A node is drained, and uncordoned at the end.
    #[serde(default)]
    pub(crate) node_drain: Option<NodeFile>,
    /// A node loses its power.
    #[serde(default)]
    pub(crate) node_loss: Option<NodeFile>,
    /// All nodes of a zone lose their power.
    #[serde(default)]
    pub(crate) zone_loss: Option<ZoneFile>,
    /// A node is cut off from everybody.
    #[serde(default)]
    pub(crate) partition: Option<NodeFile>,
    /// A new version is rolled out. `lasts` says how long it is given.
    #[serde(default)]
    pub(crate) rolling_update: Option<WorkloadFile>,
    /// A version is rolled out whose image cannot be pulled.
    #[serde(default)]
    pub(crate) bad_image: Option<WorkloadFile>,
    /// The last rollout is undone.
    #[serde(default)]
    pub(crate) rollback: Option<WorkloadFile>,
    /// Requests take longer.
    #[serde(default)]
    pub(crate) latency: Option<LatencyFile>,
    /// Requests are answered with an error.
    #[serde(default)]
    pub(crate) errors: Option<ErrorsFile>,
    /// Requests are cut: whoever asks gets a reset.
    #[serde(default)]
    pub(crate) reset: Option<ShareFile>,
    /// Packets are lost, and TCP sends them again.
    #[serde(default)]
    pub(crate) packet_loss: Option<ShareFile>,
    /// Packets vanish.
    #[serde(default)]
    pub(crate) blackhole: Option<PairFile>,
    /// The database's primary is lost.
    #[serde(default)]
    pub(crate) database_loss: Option<StoreFile>,
    /// Others take database connections.
    #[serde(default)]
    pub(crate) connections_taken: Option<TakenFile>,
    /// The database is backed up.
    #[serde(default)]
    pub(crate) backup: Option<BackupFile>,
    /// The disk of the database is full.
    #[serde(default)]
    pub(crate) disk_full: Option<StoreFile>,
    /// The database is offline while a backup is restored.
    #[serde(default)]
    pub(crate) restore: Option<StoreFile>,
    /// The Redis primary is lost.
    #[serde(default)]
    pub(crate) redis_loss: Option<StoreFile>,
    /// Gateway pods are killed.
    #[serde(default)]
    pub(crate) gateway_loss: Option<GatewayFile>,
    /// Something else takes a node's CPU.
    #[serde(default)]
    pub(crate) noisy_neighbour: Option<NoiseFile>,
    /// A Service's name is not resolved.
    #[serde(default)]
    pub(crate) dns_failure: Option<DnsFile>,
    /// Somebody edits an autoscaler; at the end it is as it was.
    #[serde(default)]
    pub(crate) autoscaler_edit: Option<AutoscalerEditFile>,
    /// Somebody sets a quota; at the end it is gone.
    #[serde(default)]
    pub(crate) quota: Option<QuotaFile>,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }
    )*};
}

parts! {
    /// Which pods.
    PodKillFile {
        /// Of which workload.
        workload: At<String>,
        /// How many; 1 if left out.
        #[serde(default)]
        pods: Option<At<u32>>,
        /// Without grace; no if left out.
        #[serde(default)]
        forced: Option<At<bool>>,
    }
    /// Which node.
    NodeFile {
        /// Its name.
        node: At<String>,
    }
    /// Which zone.
    ZoneFile {
        /// Value of `topology.kubernetes.io/zone`.
        zone: At<String>,
    }
    /// Which workload.
    WorkloadFile {
        /// Its name.
        workload: At<String>,
    }
    /// Between whom, and how much.
    LatencyFile {
        /// Who asks: a workload, `gateway` or `clients`.
        from: At<String>,
        /// Whom.
        to: At<String>,
        /// Added to every request.
        add: At<Distribution>,
    }
    /// Between whom, and how often.
    ErrorsFile {
        /// Who asks: a workload, `gateway` or `clients`.
        from: At<String>,
        /// Whom.
        to: At<String>,
        /// Which share of the requests.
        share: At<Percent>,
        /// The status of the answer; 503 if left out.
        #[serde(default)]
        status: Option<At<ErrorStatus>>,
    }
    /// Between whom, and how much of it.
    ShareFile {
        /// Who asks: a workload, `gateway` or `clients`.
        from: At<String>,
        /// Whom.
        to: At<String>,
        /// Which share.
        share: At<Percent>,
    }
    /// Between whom.
    PairFile {
        /// Who asks: a workload, `gateway` or `clients`.
        from: At<String>,
        /// Whom.
        to: At<String>,
    }
    /// Which one.
    StoreFile {
        /// The workload; the platform's only one of its kind if left out.
        #[serde(default)]
        workload: Option<At<String>>,
    }
    /// How many.
    TakenFile {
        /// Connections; as many as there are left if there are fewer.
        connections: At<u32>,
    }
    /// How much it takes.
    BackupFile {
        /// CPU of the database's server; 1, a backend of `pg_dump`, if left out.
        #[serde(default)]
        cpu: Option<At<Millicores>>,
    }
    /// How many.
    GatewayFile {
        /// Pods; 1 if left out.
        #[serde(default)]
        pods: Option<At<u32>>,
    }
    /// Where, and how much.
    NoiseFile {
        /// Which node.
        node: At<String>,
        /// CPU that is taken.
        cpu: At<Millicores>,
    }
    /// Which Service.
    DnsFile {
        /// Its name.
        service: At<String>,
    }
    /// Whose autoscaler, and what is set in it.
    AutoscalerEditFile {
        /// The workload that it scales.
        workload: At<String>,
        /// `minReplicas`.
        #[serde(default)]
        min: Option<At<u32>>,
        /// `maxReplicas`.
        #[serde(default)]
        max: Option<At<u32>>,
        /// `averageUtilization` of its CPU metric: percent of the request.
        #[serde(default)]
        cpu: Option<At<u32>>,
    }
    /// Where, and how much there may be together.
    QuotaFile {
        /// Of which namespace; the platform's own if left out.
        #[serde(default)]
        namespace: Option<At<String>>,
        /// Pods.
        #[serde(default)]
        pods: Option<At<u32>>,
        /// CPU that is requested.
        #[serde(default)]
        cpu: Option<At<Millicores>>,
        /// Memory that is requested.
        #[serde(default)]
        memory: Option<At<Bytes>>,
    }
}
