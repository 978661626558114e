//! The strongroom command
