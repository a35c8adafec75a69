//! Every interleaving of two and three threads, by loom.
