//! What a control plane needs before the rules' place can be taken by it: nodes, metrics, and the platform's objects.

use std::sync::Arc;

use clock::Clock;
use cluster::{ClusterConfig, ControlInput, ControlSide};
use platform::{Node, Platform};
use serde_json::Value;
use server::Listening;
use tokio::sync::watch;
use units::Nanos;

use crate::KubeError;
use crate::answers::{self, Answers};
use crate::apply::{self, Applied};
use crate::ground;
use crate::made_up;
use crate::plane::LocalControlPlane;
use crate::remote::{Hands, Parts, Remote};
use crate::rest::Rest;
use crate::wall::Wall;

/// What is stood up on a control plane.
#[derive(Clone, Debug)]
pub struct Order {
    /// The platform as it was read.
    pub platform: Arc<Platform>,
    /// Its objects as they are applied.
    pub objects: Vec<Value>,
    /// The nodes that are played.
    pub nodes: Vec<Node>,
    /// The delays of kubelets, and how often metrics are scraped.
    pub config: ClusterConfig,
    /// The run's id: a label's value.
    pub run: String,
}

/// A platform whose objects are applied. Its pods are created and bound from now on, and wait for their kubelets.
pub struct Prepared {
    rest: Rest,
    order: Order,
    clock: Clock,
    wall: Wall,
    answers: Arc<Answers>,
    died: watch::Receiver<Option<String>>,
    applied: Applied,
    took: Nanos,
    listening: Listening,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Makes the nodes, registers the metrics APIs and applies every object.
    pub async fn new(plane: &LocalControlPlane, order: Order) -> Result<Self, KubeError> {
        let clock = Clock::start();
        let wall = Wall::of(&clock);
        let rest = Rest::new(plane.client());
        ground::make(&rest, wall, clock.now(), &order.run, &order.nodes).await?;
        let names = order.nodes.iter().map(|node| node.name.clone()).collect();
        let answers = Answers::new(Arc::clone(&order.platform), names, &order.config, clock.clone(), wall);
        let answers = Arc::new(answers);
        let began = clock.now();
        let mut objects = order.objects.clone();
        objects.extend(made_up::missing(&order.platform, &order.objects));
        let applied = apply::apply(&rest, &order.run, &objects).await?;
        let took = clock.now() - began;
        // After the objects, so that an adapter's own registration among them gives way.
        let listening = answers::serve(&plane.registrar(&order.run), &rest, &answers).await?;
        Ok(Self { rest, order, clock, wall, answers, died: plane.died(), applied, took, listening })
    }

    /// What was applied.
    pub const fn applied(&self) -> &Applied {
        &self.applied
    }

    /// How long that took.
    pub const fn took(&self) -> Nanos {
        self.took
    }

    /// The control side of a rehearsal on the clock of the run. Needs a tokio runtime.
    pub fn control(self, clock: &Clock, teller: Arc<dyn Fn(ControlInput) + Send + Sync>) -> Box<dyn ControlSide> {
        let Order { platform, nodes, config, run, .. } = self.order;
        let offset = self.clock.now() - clock.now();
        let parts = Parts {
            rest: self.rest,
            platform,
            nodes,
            config,
            answers: self.answers,
            died: Some(self.died),
            wall: self.wall,
            offset,
            run,
            listening: Some(self.listening),
            hands: Hands::Played,
            only: None,
        };
        Box::new(Remote::new(parts, clock, teller))
    }
}
