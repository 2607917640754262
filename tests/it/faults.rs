//! Faults that must stay where they are: modules that panic, fail, sleep and spin; a full disk; kill -9.

mod disk;
mod kill;
mod modules;
