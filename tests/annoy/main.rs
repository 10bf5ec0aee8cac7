//! The module `annoy`: what Annoy's own tests assert, what Annoy 1.17.3 answers from the same files, and files that
//! are not what they should be.

mod codes;
mod fixtures;
mod hostile;
mod lifecycle;
mod metrics;
mod precision;
mod real;
mod shapes;
mod support;
mod transfer;
