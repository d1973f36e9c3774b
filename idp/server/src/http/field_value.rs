//! One value of a form, on its way into the type that a handler expects.

use idp_core::secret::Secret;
use serde::Deserializer;
use serde::de::value::Error;
use serde::de::{IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Deserialized without a copy besides the one in the handler's type, and wiped after that.
///
/// `None` is a value that could not be decoded. It is refused unless the field is ignored.
pub(crate) struct FieldValue(pub(crate) Option<Secret>);

impl FieldValue {
    fn text(&self) -> Result<&str, Error> {
        self.0
            .as_ref()
            .map(Secret::expose)
            .ok_or_else(|| serde::de::Error::custom("the value cannot be decoded"))
    }
}

impl IntoDeserializer<'_, Error> for FieldValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for FieldValue {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text()?)
    }

    /// A field that is there is there, even if it is empty.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        IntoDeserializer::<Error>::into_deserializer(self.text()?).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}
