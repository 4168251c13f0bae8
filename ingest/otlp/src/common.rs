//! What all signals share (`opentelemetry.proto.common.v1` and `.resource.v1`).

message! {
    /// An attribute.
    pub struct KeyValue<'a> {
        /// Its name.
        1 => key: &'a str = text,
        /// Its value; None when none was sent, or one that holds nothing.
        2 => value: Option<Value<'a>> = message,
        /// A reference into a dictionary that only profiles have.
        3 => key_strindex: i32 = int32,
    }

    /// The code that recorded something.
    pub struct InstrumentationScope<'a> {
        /// Its name.
        1 => name: &'a str = text,
        /// Its version.
        2 => version: &'a str = text,
        /// More about it.
        3 => attributes: Vec<KeyValue<'a>> = many,
        /// Attributes that the sender dropped.
        4 => dropped_attributes_count: u32 = uint32,
    }

    /// What recorded: a service, a process, a host.
    pub struct Resource<'a> {
        /// What is known of it.
        1 => attributes: Vec<KeyValue<'a>> = many,
        /// Attributes that the sender dropped.
        2 => dropped_attributes_count: u32 = uint32,
        /// The entities that it consists of.
        3 => entity_refs: Vec<EntityRef<'a>> = many,
    }

    /// An entity, by the attributes of the resource that identify and describe it.
    pub struct EntityRef<'a> {
        /// Schema of those attributes.
        1 => schema_url: &'a str = text,
        /// Kind of entity, such as `service`.
        2 => r#type: &'a str = text,
        /// Keys of the attributes that identify it.
        3 => id_keys: Vec<&'a str> = texts,
        /// Keys of the attributes that describe it.
        4 => description_keys: Vec<&'a str> = texts,
    }
}

/// The value of an attribute, or the body of a log record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Text.
    String(&'a str),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// A list; an item that holds nothing is None.
    Array(Vec<Option<Value<'a>>>),
    /// A list of named values.
    KeyValues(Vec<KeyValue<'a>>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A reference into a dictionary that only profiles have.
    StringIndex(i32),
}

oneof! {
    impl<'a> Value<'a> {
        1 => String = text,
        2 => Bool = boolean,
        3 => Int = int64,
        4 => Double = double,
        5 => Array = wrapped,
        6 => KeyValues = wrapped,
        7 => Bytes = bytes,
        8 => StringIndex = int32,
    }
}
