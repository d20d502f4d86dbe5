//! Which images a node holds.
//!
//! Follows the kubelet's defaults: an image is pulled once for a node (`imagePullPolicy: IfNotPresent`; `Always` asks
//! the registry and finds nothing new), one at a time (`serializeImagePulls: true`,
//! `pkg/kubelet/apis/config/v1beta1/defaults.go`). Nothing is collected for want of disk.

use std::collections::BTreeMap;

use units::Nanos;

/// Images by node. Nodes that come later begin with none.
#[derive(Debug, Default)]
pub(crate) struct Images {
    there: BTreeMap<(usize, String), Nanos>,
    /// Until when each node pulls.
    busy: BTreeMap<usize, Nanos>,
}

impl Images {
    /// When `image` is on `node`, if a pod there asks for it now and a pull takes `takes`.
    pub(crate) fn pull(&mut self, now: Nanos, node: usize, image: &str, takes: Nanos) -> Nanos {
        let busy = self.busy.entry(node).or_default();
        let there = self.there.entry((node, image.to_owned())).or_insert_with(|| {
            *busy = now.max(*busy) + takes;
            *busy
        });
        now.max(*there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pulled_once_a_node_and_one_after_the_other() {
        let sec = Nanos::from_secs;
        let mut images = Images::default();
        for (case, at, node, image, want) in [
            ("the first pod waits for the pull", 10, 0, "web:1", 30),
            ("the second one joins it", 15, 0, "web:1", 30),
            ("another image queues behind", 15, 0, "log:1", 50),
            ("once there, it is there", 60, 0, "web:1", 60),
            ("another node pulls for itself", 60, 1, "web:1", 80),
            ("a new tag is a new image", 100, 0, "web:2", 120),
        ] {
            assert_eq!(images.pull(sec(at), node, image, sec(20)), sec(want), "{case}");
        }
    }
}
