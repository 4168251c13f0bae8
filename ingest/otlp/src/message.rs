//! Messages as tables: one row a field, with its number and how its value is read (see `field`).

use crate::error::Result;
use crate::reader::{Key, Reader};

/// What is read field by field. The default is the message without any.
pub(crate) trait Message<'a>: Default {
    /// Reads one field's value into its place; passes over a field that is unknown.
    fn merge_field(&mut self, key: Key, from: &mut Reader<'a>) -> Result<()>;
}

/// Reads a whole body, whose messages may take `limit` bytes of memory.
pub(crate) fn decode<'a, M: Message<'a>>(body: &'a [u8], limit: usize) -> Result<M> {
    let mut reader = Reader::new(body, limit);
    let mut message = M::default();
    while reader.has_more() {
        let key = reader.key()?;
        message.merge_field(key, &mut reader)?;
    }
    Ok(message)
}

/// Declares messages: `number => field: type = how`. A oneof has the numbers of its alternatives.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident<$life:lifetime> {
            $( $(#[$doc:meta])* $($number:literal)|+ => $field:ident: $type:ty = $how:ident, )*
        }
    )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name<$life> {
            $( $(#[$doc])* pub $field: $type, )*
        }

        impl<$life> $crate::message::Message<$life> for $name<$life> {
            message!(@merge $life { $( $($number)|+ => $field = $how, )* });
        }
    )* };
    (@merge $life:lifetime { $( $($number:literal)|+ => $field:ident = $how:ident, )* }) => {
        #[inline]
        fn merge_field(
            &mut self,
            key: $crate::reader::Key,
            from: &mut $crate::reader::Reader<$life>,
        ) -> $crate::error::Result<()> {
            match key.number {
                $( $($number)|+ => $crate::field::$how(&mut self.$field, key, from)
                    .map_err(|e| e.within(stringify!($field))), )*
                _ => from.skip(key),
            }
        }
    };
}

/// Declares messages that hold nothing but numbers, and so borrow nothing.
macro_rules! numeric_message {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$doc:meta])* $($number:literal)|+ => $field:ident: $type:ty = $how:ident, )*
        }
    )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $type, )*
        }

        impl<'a> $crate::message::Message<'a> for $name {
            message!(@merge 'a { $( $($number)|+ => $field = $how, )* });
        }
    )* };
}

/// Declares how a oneof is read: `number => Alternative = how`. The last alternative sent counts; one that is a
/// message and was sent before is merged with what came then.
macro_rules! oneof {
    (impl<$life:lifetime> $name:ident $(<$of:lifetime>)? { $( $number:literal => $alternative:ident = $how:ident, )* }) => {
        impl<$life> $crate::message::Message<$life> for Option<$name $(<$of>)?> {
            #[inline]
            fn merge_field(
                &mut self,
                key: $crate::reader::Key,
                from: &mut $crate::reader::Reader<$life>,
            ) -> $crate::error::Result<()> {
                match key.number {
                    $( $number => match self {
                        Some($name::$alternative(value)) => $crate::field::$how(value, key, from),
                        _ => {
                            let mut value = Default::default();
                            $crate::field::$how(&mut value, key, from)?;
                            *self = Some($name::$alternative(value));
                            Ok(())
                        }
                    }, )*
                    _ => from.skip(key),
                }
            }
        }
    };
}
