//! What the two AWS stores of Strongroom share: authentication, transport, errors.
