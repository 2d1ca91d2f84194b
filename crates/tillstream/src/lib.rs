//! The parts of the one binary that are worth testing on their own.

pub mod demo;
pub mod trigger;
