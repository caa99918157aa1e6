//! x
mod norm_group;
