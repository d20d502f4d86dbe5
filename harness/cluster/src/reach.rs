//! How far a node is from the control plane: whether the two hear each other, and whether its containers still run.

/// A node as whoever plays it knows it; the control plane finds out by silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Both hear each other.
    #[default]
    Up,
    /// Its network is cut off: containers run, and nobody hears of them.
    CutOff,
    /// It has no power: nothing of it is left but its disk.
    Lost,
}

impl Reach {
    /// It loses its power (`lost`), or is cut off. What it was before, if that changes anything: a node without power
    /// cannot be cut off.
    pub fn worsen(&mut self, lost: bool) -> Option<Self> {
        let to = if lost { Self::Lost } else { Self::CutOff };
        let before = *self;
        (before != to && before != Self::Lost).then(|| std::mem::replace(self, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_only_gets_worse_until_it_is_back() {
        use Reach::{CutOff, Lost, Up};
        for (before, lost, after, told) in [
            (Up, false, CutOff, Some(Up)),
            (Up, true, Lost, Some(Up)),
            (CutOff, false, CutOff, None),
            (CutOff, true, Lost, Some(CutOff)),
            (Lost, false, Lost, None),
            (Lost, true, Lost, None),
        ] {
            let mut reach = before;
            assert_eq!((reach.worsen(lost), reach), (told, after), "{before:?}, lost: {lost}");
        }
    }
}
