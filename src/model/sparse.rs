//! What few of a million have: a word where there is nothing, a box where there is something.

use std::ops::{Deref, DerefMut};

use serde::{Serialize, Serializer};

/// Something that can be blank, and mostly is.
pub trait Blank: Clone + PartialEq + 'static {
    /// That.
    const BLANK: &'static Self;
}

/// A `T` that takes a word while it is blank. Whoever writes to it gives it a box.
#[derive(Clone, Debug)]
pub struct Sparse<T>(Option<Box<T>>);

impl<T> Sparse<T> {
    /// A blank one.
    pub const NOTHING: Self = Self(None);

    /// It has no box.
    #[cfg(test)]
    pub fn is_bare(&self) -> bool {
        self.0.is_none()
    }
}

impl<T: Blank> Sparse<T> {
    /// Gives its box back if that is blank by now.
    pub fn shed(&mut self) {
        if **self == *T::BLANK {
            self.0 = None;
        }
    }
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl<T: Blank> From<T> for Sparse<T> {
    fn from(content: T) -> Self {
        Self((content != *T::BLANK).then(|| Box::new(content)))
    }
}

impl<T: Blank> Deref for Sparse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::BLANK)
    }
}

impl<T: Blank> DerefMut for Sparse<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::BLANK.clone()))
    }
}

impl<T: Blank> PartialEq for Sparse<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Blank + Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::TaskOptions;
    use super::*;

    #[test]
    fn what_says_nothing_takes_a_word_and_reads_as_blank() {
        assert_eq!(size_of::<Sparse<TaskOptions>>(), size_of::<usize>());
        let mut options = Sparse::from(TaskOptions::default());
        assert!(options.0.is_none() && *options == TaskOptions::default());
        options.timeout = Some(1.0);
        assert_eq!(*options, TaskOptions { timeout: Some(1.0), ..TaskOptions::default() });
        assert_eq!(*Sparse::from((*options).clone()), *options);
    }
}
