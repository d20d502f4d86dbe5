//! Predictive scaling: where demand goes if it goes on as it did.
//!
//! Not Kubernetes': an addition that a platform may run beside its autoscaler. Owns the history of demand, in pods
//! before rounding, and the line through it. It raises a proposal, never lowers it, so the worst that a wrong forecast
//! does is pods that nobody needed.

use units::Nanos;

use crate::Forecast;

/// Below this many points a line says nothing.
const POINTS_MIN: usize = 3;

/// The history of one autoscaler.
#[derive(Clone, Debug)]
pub(super) struct Forecaster {
    settings: Forecast,
    history: Vec<(Nanos, f64)>,
}

impl Forecaster {
    pub(super) fn new(settings: Forecast) -> Self {
        Self { settings, history: Vec::new() }
    }

    /// Takes what the metrics ask for now, and tells what they will ask for after the lead time; `None` while the
    /// history is too short. Least squares over the points that are at most `history` old.
    pub(super) fn look(&mut self, now: Nanos, demand: f64) -> Option<i32> {
        let oldest = self.settings.history;
        self.history.retain(|(then, _)| *then + oldest >= now);
        if demand.is_finite() {
            self.history.push((now, demand));
        }
        if self.history.len() < POINTS_MIN {
            return None;
        }
        let points = || self.history.iter().map(|&(then, demand)| (-(now - then).as_secs_f64(), demand));
        let count = self.history.len() as f64;
        let mean = |value: &dyn Fn((f64, f64)) -> f64| points().map(value).sum::<f64>() / count;
        let (middle, level) = (mean(&|(at, _)| at), mean(&|(_, demand)| demand));
        let spread = points().map(|(at, _)| (at - middle) * (at - middle)).sum::<f64>();
        if spread <= 0.0 {
            return None;
        }
        let slope = points().map(|(at, demand)| (at - middle) * (demand - level)).sum::<f64>() / spread;
        let ahead = level + slope * (self.settings.lead.as_secs_f64() - middle);
        Some(libm::ceil(ahead).clamp(0.0, f64::from(i32::MAX)) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecaster() -> Forecaster {
        Forecaster::new(Forecast { history: Nanos::from_secs(120), lead: Nanos::from_secs(60) })
    }

    #[test]
    fn a_line_is_followed_and_a_level_stays() {
        for (case, per_sync, want) in [("level", 0.0, 4), ("one pod a minute", 0.25, 7), ("falling", -0.25, 1)] {
            let mut forecaster = forecaster();
            let asked = (0..9).map(|sync| forecaster.look(Nanos::from_secs(15 * sync), 4.0 + per_sync * sync as f64));
            assert_eq!(asked.last().unwrap(), Some(want), "{case}");
        }
    }

    #[test]
    fn two_points_or_old_ones_say_nothing() {
        let mut forecaster = forecaster();
        assert_eq!(forecaster.look(Nanos::from_secs(0), 4.0), None);
        assert_eq!(forecaster.look(Nanos::from_secs(15), 8.0), None);
        assert_eq!(forecaster.look(Nanos::from_secs(600), 8.0), None, "those before are out of the history");
        assert_eq!(forecaster.look(Nanos::from_secs(615), f64::NAN), None, "no demand, no point");
    }
}
