//! Faults that must stay where they are: modules that panic, fail, sleep and spin; a full disk; kill -9 at every moment
//! of an effect; a database that is away; a Redis that dies, hangs, forgets, fills up or locks us out.

mod database;
mod disk;
mod effects;
mod kill;
mod modules;
mod redis;
