//! Gives WebAssembly components the secrets they are granted, and nothing else
