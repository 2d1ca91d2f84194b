//! The state stage without Kafka: events that are made by hand, and what is said of them.

mod abandonment;
mod products;
mod world;
