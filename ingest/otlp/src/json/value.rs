//! How a JSON value is read into a field or a list: what `null` means, what a key stands for, and what the
//! tree may weigh.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Bytes that the tree of messages may still take.
#[derive(Debug)]
pub struct Budget {
    left: Cell<usize>,
    spent: Cell<bool>,
}

impl Budget {
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            left: Cell::new(bytes),
            spent: Cell::new(false),
        }
    }

    /// Takes bytes out, before they are allocated.
    pub(super) fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.spent.set(true);
                Err(E::custom("the decoded request is too large"))
            }
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }
}

/// A way to read a JSON value.
pub trait Read {
    /// What it gives.
    type Value;

    /// Reads it; what it takes in memory is taken out of the budget first.
    ///
    /// # Errors
    /// What the deserializer says, and when the budget is spent.
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        budget: &Budget,
    ) -> Result<Self::Value, D::Error>;
}

/// Puts the field's name before what was wrong in it, so that a message reads as a path. (`serde_json`
/// finds the position at the end of the text again.)
pub(super) fn in_field<E: Error>(field: &str, error: &E) -> E {
    E::custom(format_args!("{field}: {error}"))
}

/// A field's value; None when it is `null`, which the JSON mapping takes as absent.
#[derive(Debug)]
pub(super) struct Field<'b, R>(&'b Budget, PhantomData<R>);

impl<'b, R> Field<'b, R> {
    pub(super) fn new(budget: &'b Budget) -> Self {
        Self(budget, PhantomData)
    }
}

impl<'de, R: Read> DeserializeSeed<'de> for Field<'_, R> {
    type Value = Option<R::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, R: Read> Visitor<'de> for Field<'_, R> {
    type Value = Option<R::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        R::read(deserializer, self.0).map(Some)
    }
}

/// A key: the canonical name of the field it stands for, or None.
#[derive(Debug)]
pub(super) struct Key(pub(super) &'static [(&'static str, &'static str)]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self
            .0
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, field)| *field))
    }
}

/// A list.
#[derive(Debug)]
pub(super) struct List<R>(PhantomData<R>);

impl<R: Read> Read for List<R> {
    type Value = Vec<R::Value>;

    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        budget: &Budget,
    ) -> Result<Self::Value, D::Error> {
        struct Items<'b, R>(&'b Budget, PhantomData<R>);

        impl<'de, R: Read> Visitor<'de> for Items<'_, R> {
            type Value = Vec<R::Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element_seed(Item::<R>(self.0, PhantomData))? {
                    list.push(item);
                }
                Ok(list)
            }
        }

        struct Item<'b, R>(&'b Budget, PhantomData<R>);

        impl<'de, R: Read> DeserializeSeed<'de> for Item<'_, R> {
            type Value = R::Value;

            fn deserialize<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                R::read(deserializer, self.0)
            }
        }

        deserializer.deserialize_seq(Items::<R>(budget, PhantomData))
    }
}
