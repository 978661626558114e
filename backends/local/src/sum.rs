//! The sum of keyed hashes over all rows: what shows that a row was put back, removed or added.

/// A sum modulo 2^256. Adding and removing rows is order-free and costs nothing per other row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self(words)
    }

    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    pub(crate) fn add(&mut self, row: [u8; 32]) {
        let mut carry = false;
        for (word, other) in self.0.iter_mut().zip(Self::from_bytes(row).0) {
            let (sum, over) = word.overflowing_add(other);
            let (sum, again) = sum.overflowing_add(carry.into());
            (*word, carry) = (sum, over || again);
        }
    }

    pub(crate) fn remove(&mut self, row: [u8; 32]) {
        let mut borrow = false;
        for (word, other) in self.0.iter_mut().zip(Self::from_bytes(row).0) {
            let (rest, under) = word.overflowing_sub(other);
            let (rest, again) = rest.overflowing_sub(borrow.into());
            (*word, borrow) = (rest, under || again);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn removing_undoes_adding_in_any_order(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let mut sum = Sum::from_bytes(a);
            sum.add(b);
            sum.add(c);
            sum.remove(b);
            prop_assert_ne!(sum.to_bytes(), a);
            sum.remove(c);
            prop_assert_eq!(sum.to_bytes(), a);
        }
    }

    #[test]
    fn carries_cross_words() {
        let mut sum = Sum::from_bytes([0xff; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        sum.add(one);
        assert_eq!(sum, Sum::default());
        sum.remove(one);
        assert_eq!(sum.to_bytes(), [0xff; 32]);
    }
}
