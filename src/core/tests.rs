//! Each rule of the scheduler, one at a time.
