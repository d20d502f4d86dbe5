//! Why there is no control plane, or none any more.

use std::io;
use std::path::PathBuf;

/// Why Kubernetes' own control plane cannot be had. None of them says anything about the platform, except
/// [`Self::Refused`].
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// A program is nowhere.
    #[error("{program} is not found: {looked}; {remedy}")]
    Missing {
        /// Which one.
        program: &'static str,
        /// Where it was looked for, in words.
        looked: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A program is there and does not run.
    #[error("{program} does not run")]
    Start {
        /// Which file.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A component ended while it was to start.
    #[error("{component} ended while it started ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which one.
        component: &'static str,
        /// How.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The API server does not become ready.
    #[error("the API server was not ready within {seconds} s; the end of its log:\n{log}")]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// The folder for certificates, data and logs cannot be kept.
    #[error("cannot keep the control plane's files in {}: set TMPDIR to a folder that can be written", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate for the control plane: {0}")]
    Certificate(String),
    /// A request to the API server failed.
    #[error("the API server does not {what}")]
    Api {
        /// What it was asked to do.
        what: String,
        /// What it says.
        source: Box<kube::Error>,
    },
    /// The API server refuses an object of the platform, or a webhook that it asks does.
    #[error("the API server refuses {object}: {why}{}", remedy(why))]
    Refused {
        /// `Kind/name`.
        object: String,
        /// Its namespace; empty if it says none.
        namespace: String,
        /// In its words.
        why: String,
    },
    /// The certificate by which a user shows who it is has expired.
    #[error(
        "the client certificate of context {context} has expired on {since}: have it renewed (log in again, or \
         `kubeadm certs renew` on its control plane), and try `kubectl --context {context} get namespaces`"
    )]
    Expired {
        /// The context.
        context: String,
        /// When.
        since: String,
    },
    /// The API server does not know who asks.
    #[error(
        "the API server does not know the user of context {context}: its token or certificate has expired or was taken \
         back; log in again, and try `kubectl --context {context} get namespaces`"
    )]
    Unauthorized {
        /// The context.
        context: String,
    },
    /// Nobody answers who can be trusted.
    #[error("context {context}: no API server that the kubeconfig trusts answers at {server}; does the cluster run?")]
    Unreached {
        /// The context.
        context: String,
        /// Where it was asked.
        server: String,
        /// What came instead.
        source: Box<kube::Error>,
    },
    /// What a run left in a cluster cannot be removed.
    #[error(
        "what run {run} left is not removed, and stays noted in {}: `rehearse clean` tries again; delete that folder if \
         its cluster is gone for good", folder.display()
    )]
    Kept {
        /// The run's id.
        run: String,
        /// Its ledger.
        folder: PathBuf,
        /// Why.
        source: Box<KubeError>,
    },
    /// A kubeconfig file cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// No such context.
    #[error("there is no context `{name}` in the kubeconfig: it has {known}")]
    NoContext {
        /// The one that was named.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Nodes do not become ready.
    #[error("not every node of the cluster is ready after {seconds} s: see `kubectl get nodes`")]
    NodesNotReady {
        /// How long it was waited.
        seconds: u64,
    },
    /// Nobody has allowed rehearsals in the namespace.
    #[error(
        "namespace {namespace} does not allow rehearsals: whoever it belongs to says so by          `kubectl label namespace {namespace} rehearse.dev/allow=true`"
    )]
    NotAllowed {
        /// Its name.
        namespace: String,
    },
    /// There is no such namespace, and a cluster that is not ours gets none from us.
    #[error(
        "there is no namespace {namespace}: make it for rehearsals (`kubectl create namespace {namespace}`, then          `kubectl label namespace {namespace} rehearse.dev/allow=true`)"
    )]
    NoNamespace {
        /// Its name.
        namespace: String,
    },
    /// It looks like production.
    #[error(
        "`{name}` looks like production, and load and faults would go there: choose another context, or say          `--allow-production {context}`"
    )]
    Production {
        /// What looks like it.
        name: String,
        /// The context.
        context: String,
    },
    /// No namespace was named.
    #[error("--context needs --namespace NS: the namespace of the cluster that rehearsals may use")]
    NamespaceMissing,
    /// Nothing to send load to.
    #[error("the platform has no nginx of its own that load could be sent to: use another backend")]
    NoGateway,
    /// Permissions are missing.
    #[error("this user may not do in the cluster what the run needs: {missing}; have them granted by a Role")]
    Forbidden {
        /// Which, as `kubectl auth can-i` has them.
        missing: String,
    },
    /// Something of somebody else's is where ours would be.
    #[error("{path} is there already and is not ours: nothing was changed; rehearse in another namespace")]
    Foreign {
        /// Where.
        path: String,
    },
    /// A black hole that would be none.
    #[error("fault {fault} cannot be played in this cluster: {why}")]
    Unheeded {
        /// The fault.
        fault: String,
        /// What was seen.
        why: &'static str,
    },
    /// Policies only say what may come, and another one says so of what ours would keep out.
    #[error(
        "fault {fault} cannot be played in this cluster: network policy {policy} may select pods of {workload}, and what one \
         policy lets in, another cannot keep out"
    )]
    Admitted {
        /// The fault.
        fault: String,
        /// Whose pods are to hear nothing.
        workload: String,
        /// The policy that is there.
        policy: String,
    },
    /// What was deleted does not go.
    #[error(
        "objects of run {run} are still there {seconds} s after they were deleted: see what their finalizers wait for"
    )]
    Stays {
        /// The run's id.
        run: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// The user's own script failed.
    #[error("`{command}` failed{when} ({how}); its last lines:\n{said}")]
    Script {
        /// Which.
        command: String,
        /// In which of its runs.
        when: &'static str,
        /// How it ended.
        how: String,
        /// Its last lines, and what more is known.
        said: String,
    },
    /// It has not made everything.
    #[error("`{command}` has not made what the manifests have: {missing}; load would find nobody there")]
    Undeployed {
        /// Which.
        command: String,
        /// `Kind/name` of each.
        missing: String,
    },
    /// A command failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// Which.
        command: String,
        /// What it said.
        why: String,
    },
    /// A stand-in's files or images cannot be had.
    #[error(transparent)]
    Images(#[from] containers::DockerError),
    /// The build of Kubernetes failed.
    #[error("Kubernetes cannot be built: {0}")]
    Build(String),
}

/// What to do about a refusal, where that is known.
fn remedy(why: &str) -> &'static str {
    if why.contains("denied the request") || why.contains("denied request") {
        "; that is a policy of the cluster: change the object, or have the policy's owner leave the namespace out"
    } else if why.contains("failed calling webhook") {
        "; nobody answers for this webhook, and it fails closed: see to its Service, or leave its configuration out of \
         the manifests"
    } else if why.contains("exceeded quota") {
        "; see `kubectl describe resourcequota`, or rehearse where there is more room"
    } else {
        ""
    }
}

impl KubeError {
    /// With its causes, in one line.
    pub fn told(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.map(ToString::to_string).fold(self.to_string(), |told, cause| {
            if told.ends_with(&cause) { told } else { format!("{told}: {cause}") }
        })
    }

    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }
}
