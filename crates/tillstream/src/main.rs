//! tillstream
fn main() {}
