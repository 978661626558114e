//! A host program that embeds Strongroom
