//! LimitRanges and what they give to containers, and ResourceQuotas.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use platform::{LimitRange, Quota, Resources};
use units::Bytes;

use crate::ManifestError;
use crate::object::Object;

/// What containers of each namespace are given that do not say.
#[derive(Debug, Default)]
pub(super) struct Defaults(BTreeMap<String, Given>);

/// Default request and default limit.
type Given = (Resources, Resources);

impl Defaults {
    /// With several LimitRanges in a namespace the first that says something counts; Kubernetes promises no order.
    pub(super) fn add(&mut self, range: &LimitRange) {
        let (request, limit) = self.0.entry(range.namespace.clone()).or_default();
        *request = or(*request, range.default_request);
        *limit = or(*limit, range.default_limit);
    }

    /// Requests and limits as they are after admission.
    ///
    /// First what has a limit only requests the limit (`pkg/apis/core/v1/defaults.go`, `SetDefaults_Pod`), then each
    /// gap is filled from the LimitRange (`plugin/pkg/admission/limitranger/admission.go`, `mergePodResourceRequirements`).
    pub(super) fn apply(&self, namespace: &str, requests: Resources, limits: Resources) -> (Resources, Resources) {
        let requests = or(requests, limits);
        match self.0.get(namespace) {
            Some((request, limit)) => (or(requests, *request), or(limits, *limit)),
            None => (requests, limits),
        }
    }
}

fn or(first: Resources, second: Resources) -> Resources {
    Resources { cpu: first.cpu.or(second.cpu), memory: first.memory.or(second.memory) }
}

/// Its items of type Container, with their own defaults filled in: a limit from `max`, a request from the limit and
/// else from `min` (`pkg/apis/core/v1/defaults.go`, `SetDefaults_LimitRangeItem`).
pub(super) fn limit_range(object: &Object) -> Result<LimitRange, ManifestError> {
    let typed: core::LimitRange = object.typed()?;
    let nothing = Resources::default();
    let mut range = LimitRange {
        namespace: object.namespace.clone(),
        default_request: nothing,
        default_limit: nothing,
        max: nothing,
        place: object.place.clone(),
    };
    for (index, item) in typed.spec.unwrap_or_default().limits.iter().enumerate() {
        if item.type_ != "Container" {
            continue;
        }
        let list = |list, name: &str| resources(object, list, &format!("spec.limits[{index}].{name}"));
        let max = list(item.max.as_ref(), "max")?;
        let limit = or(list(item.default.as_ref(), "default")?, max);
        let request = or(list(item.default_request.as_ref(), "defaultRequest")?, limit);
        let request = or(request, list(item.min.as_ref(), "min")?);
        range.max = or(range.max, max);
        range.default_limit = or(range.default_limit, limit);
        range.default_request = or(range.default_request, request);
    }
    Ok(range)
}

/// CPU and memory of a resource list.
pub(super) fn resources(
    object: &Object,
    list: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
    path: &str,
) -> Result<Resources, ManifestError> {
    Ok(Resources { cpu: object.quantity(list, "cpu", path)?, memory: object.quantity(list, "memory", path)? })
}

/// `cpu` and `memory` are other names for `requests.cpu` and `requests.memory`.
pub(super) fn quota(object: &Object) -> Result<Quota, ManifestError> {
    let typed: core::ResourceQuota = object.typed()?;
    let hard = typed.spec.unwrap_or_default().hard.unwrap_or_default();
    let (list, path) = (Some(&hard), "spec.hard");
    let plain = resources(object, list, path)?;
    let requests = Resources {
        cpu: object.quantity(list, "requests.cpu", path)?,
        memory: object.quantity(list, "requests.memory", path)?,
    };
    let limits = Resources {
        cpu: object.quantity(list, "limits.cpu", path)?,
        memory: object.quantity(list, "limits.memory", path)?,
    };
    // Pods are counted in whole ones, so bytes' reading of the quantity fits.
    let pods: Option<Bytes> = object.quantity(list, "pods", path)?;
    Ok(Quota {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        requests: or(requests, plain),
        limits,
        pods: pods.map(|pods| u32::try_from(pods.get()).unwrap_or(u32::MAX)),
        place: object.place.clone(),
    })
}
