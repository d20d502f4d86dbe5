//! The rim of a mock service: real HTTP answered with the model's timing.
