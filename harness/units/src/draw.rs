//! Chance as a pure function of (seed, request, purpose).
//!
//! No generator is passed around, so nothing that draws can shift what somebody else draws: the mock pod
//! on a socket draws what the simulator drew, and a what-if changes only what it changes.

use serde::{Deserialize, Serialize};

use crate::identity::mix;
use crate::{Nanos, RequestId};

/// What a draw decides. Each purpose is a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The gap before an arrival.
    Gap = 1,
    /// Which journey an arrival takes.
    Journey,
    /// Which client address a session comes from.
    Client,
    /// CPU time a request needs.
    Cpu,
    /// Time a request waits without using CPU.
    Wait,
    /// Whether a request fails on its own.
    Failure,
    /// Which endpoint a connection goes to.
    Endpoint,
    /// How long a user thinks before the next step.
    Think,
    /// What a payload contains.
    Payload,
    /// When a periodic component ticks first.
    Phase,
    /// What a disturbed network does to a request.
    Network,
    /// Whether a cache has what a request wants.
    Hit,
    /// Time that a request's cache operations take.
    Cache,
    /// Time that a request's queries take.
    Query,
    /// How many pieces a stream has.
    Pieces,
    /// The time between two pieces of a stream.
    Piece,
}

/// The seed of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(u64);

impl Seed {
    /// From the number on the command line.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The number on the command line.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// The child seed of something that has a name, such as `"metrics-server"`.
    #[must_use]
    pub fn child(self, name: &str) -> Self {
        Self(name.bytes().fold(mix(self.0), |hash, byte| mix(hash ^ u64::from(byte))))
    }
    /// The child seed of the `index`-th of several things.
    #[must_use]
    pub const fn child_nth(self, index: u64) -> Self {
        Self(mix(mix(self.0) ^ mix(index)))
    }
    /// What chance says to `request` about `purpose`.
    pub const fn draw(self, request: RequestId, purpose: Purpose) -> Draw {
        Draw(mix(mix(self.0 ^ request.hash()) ^ (purpose as u64)))
    }
    /// What chance says to the `index`-th thing of its kind about `purpose`.
    pub const fn draw_nth(self, index: u64, purpose: Purpose) -> Draw {
        Draw(mix(mix(self.0 ^ mix(index)) ^ (purpose as u64)))
    }
}

/// 64 random bits, not yet given a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// All 64 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// Uniform in the open interval (0, 1): 53 bits, at the middle of their cell, so neither end occurs.
    pub fn unit(self) -> f64 {
        ((self.0 >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }
    /// Uniform in `0..n` by multiplication; `n` must not be 0. The bias is below n / 2⁶⁴.
    pub fn below(self, n: usize) -> usize {
        assert!(n > 0, "a draw among nothing");
        ((u128::from(self.0) * n as u128) >> 64) as usize
    }
    /// One of `all`, each as likely as the other; `None` of none.
    pub fn pick<T>(self, all: &[T]) -> Option<&T> {
        if all.is_empty() { None } else { Some(&all[self.below(all.len())]) }
    }
    /// Exponential with mean 1.
    pub fn exponential(self) -> f64 {
        -libm::log(self.unit())
    }
    /// Standard normal, by inversion (Acklam's rational approximation, relative error below 1.2e-9).
    pub fn normal(self) -> f64 {
        inverse_normal(self.unit())
    }
}

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distribution {
    /// Always the same.
    Constant(Nanos),
    /// Exponential with this mean.
    Exponential(Nanos),
    /// Evenly between two values.
    Uniform {
        /// The least.
        from: Nanos,
        /// The most.
        to: Nanos,
    },
    /// Log-normal: half take less than `median`; `sigma` is the standard deviation of the logarithm.
    LogNormal {
        /// Half take less than this.
        median: Nanos,
        /// Standard deviation of the natural logarithm, 0 to 3.
        sigma: f64,
    },
}

impl Distribution {
    /// Takes no time.
    pub const NONE: Self = Self::Constant(Nanos::ZERO);

    /// The value that `draw` stands for.
    pub fn sample(self, draw: Draw) -> Nanos {
        match self {
            Self::Constant(value) => value,
            Self::Exponential(mean) => scale(mean, draw.exponential()),
            Self::Uniform { from, to } => from + scale(to - from, draw.unit()),
            Self::LogNormal { median, sigma } => scale(median, libm::exp(sigma * draw.normal())),
        }
    }

    /// The mean of the distribution.
    pub fn mean(self) -> Nanos {
        match self {
            Self::Constant(value) | Self::Exponential(value) => value,
            Self::Uniform { from, to } => from + (to - from) / 2,
            Self::LogNormal { median, sigma } => scale(median, libm::exp(sigma * sigma / 2.0)),
        }
    }
}

fn scale(nanos: Nanos, by: f64) -> Nanos {
    Nanos::new((nanos.get() as f64 * by + 0.5) as u64)
}

fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    const LOW: f64 = 0.024_25;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = libm::sqrt(-2.0 * libm::log(p));
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < LOW {
        tail(p)
    } else if p > 1.0 - LOW {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws() -> impl Iterator<Item = Draw> {
        (0..200_000).map(|i| Seed::new(1).draw(RequestId::of_step(i, 0), Purpose::Cpu))
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 200_000.0;
        let mean = |f: &dyn Fn(Draw) -> f64| draws().map(f).sum::<f64>() / n;
        assert!((mean(&|d| d.unit()) - 0.5).abs() < 0.003);
        assert!((mean(&|d| d.exponential()) - 1.0).abs() < 0.01);
        assert!(mean(&|d| d.normal()).abs() < 0.01);
        assert!((mean(&|d| d.normal().powi(2)) - 1.0).abs() < 0.015);
        let law = Distribution::LogNormal { median: Nanos::from_millis(20), sigma: 0.5 };
        let sampled = mean(&|d| law.sample(d).as_millis_f64());
        assert!((sampled / law.mean().as_millis_f64() - 1.0).abs() < 0.01, "{sampled}");
        let law = Distribution::Uniform { from: Nanos::from_millis(10), to: Nanos::from_millis(30) };
        assert!((mean(&|d| law.sample(d).as_millis_f64()) - 20.0).abs() < 0.06); // five standard errors
        assert!(draws().all(|d| (10..=30).contains(&law.sample(d).as_millis())));
    }

    #[test]
    fn inverse_normal_hits_table_values() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306), (0.95, 1.644_853_627)] {
            assert!((inverse_normal(p) - z).abs() < 1e-6, "{p}");
        }
    }

    #[test]
    fn purposes_and_requests_are_independent_streams() {
        let seed = Seed::new(7);
        let id = RequestId::of_step(3, 1);
        assert_ne!(seed.draw(id, Purpose::Cpu), seed.draw(id, Purpose::Wait));
        assert_ne!(seed.draw(id, Purpose::Cpu), seed.draw(id.call(0), Purpose::Cpu));
        assert_ne!(seed.draw(id, Purpose::Cpu), Seed::new(8).draw(id, Purpose::Cpu));
        assert_ne!(seed.child("a"), seed.child("b"));
        let spread = draws().filter(|d| d.below(3) == 0).count();
        assert!((66_000..67_400).contains(&spread), "{spread}");
    }

    #[test]
    fn golden_values_hold_in_every_build_profile() {
        let draw = Seed::new(42).draw(RequestId::of_step(1, 2), Purpose::Cpu);
        let law = Distribution::LogNormal { median: Nanos::from_millis(30), sigma: 0.5 };
        let got =
            (draw.bits(), law.sample(draw).get(), Distribution::Exponential(Nanos::from_millis(30)).sample(draw).get());
        assert_eq!(got, GOLDEN);
    }
    const GOLDEN: (u64, u64, u64) = (3_383_740_417_731_678_003, 19_106_290, 50_877_185);
}
