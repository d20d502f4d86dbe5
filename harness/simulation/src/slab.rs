//! A slab: things that come and go, under small numbers that are used again.

/// Values under dense keys. No allocation once it has reached its greatest size.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(key) = self.free.pop() {
            self.values[key as usize] = value;
            return key;
        }
        self.values.push(value);
        (self.values.len() - 1) as u32
    }

    /// The key may be used again; whoever still holds it must be able to tell (a generation in the value).
    pub(crate) fn release(&mut self, key: u32) {
        self.free.push(key);
    }

    /// Every place with its key, used or not: the value must tell.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.values.iter().enumerate().map(|(key, value)| (key as u32, value))
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, key: u32) -> &T {
        &self.values[key as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, key: u32) -> &mut T {
        &mut self.values[key as usize]
    }
}
