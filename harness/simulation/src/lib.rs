//! A rehearsal in virtual time: one event queue over the shared machines.
