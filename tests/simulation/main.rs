//! Scenarios in virtual time: real cores over a simulated, seeded network. Every assertion prints its seed.

mod crossing_calls;
mod documentation;
mod establishing;
mod failing;
mod fairness;
mod hostile;
mod lone_messages;
mod lottery;
mod names;
mod pairing;
mod relaying;
mod reunion;
mod router_trouble;
mod signals_in_disorder;
mod status;
mod steady_messages;
mod surviving;
mod trust;
