//! The members of one JSON object, in order, each value still as the sender wrote it.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Up to this many members are compared pair by pair to find repeated names; a hash map would take longer.
const FEW: usize = 32;

/// An object's members without those that only MUTT may set; of a repeated name the last value counts, at the place of
/// the first, as most parsers have it.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Why a text has no members.
pub(super) enum FieldsError {
    /// JSON, but not an object.
    NotObject,
    /// Not JSON.
    Json(serde_json::Error),
}

impl<'a> Fields<'a> {
    /// Reads an object, forgetting the one before.
    pub(super) fn read(&mut self, json: &'a str) -> Result<(), FieldsError> {
        self.0.clear();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = Members(&mut self.0).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        read.map_err(
            |error| if error.is_data() { FieldsError::NotObject } else { FieldsError::Json(error) },
        )?;
        self.drop_repeats();
        Ok(())
    }

    /// Name and value of each member.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// The value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn drop_repeats(&mut self) {
        let mut kept: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::new();
        if self.0.len() <= FEW {
            let repeats = |at: usize| {
                let (before, rest) = self.0.split_at(at);
                rest.first().is_some_and(|(name, _)| before.iter().any(|(earlier, _)| earlier == name))
            };
            if !(1..self.0.len()).any(repeats) {
                return;
            }
        }
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(self.0.len());
        for (name, value) in self.0.drain(..) {
            let place = *places.entry(name.clone()).or_insert(kept.len());
            match kept.get_mut(place) {
                Some((_, earlier)) => *earlier = value,
                None => kept.push((name, value)),
            }
        }
        self.0 = kept;
    }
}

struct Members<'s, 'de>(&'s mut Vec<(Cow<'de, str>, &'de RawValue)>);

impl<'de> DeserializeSeed<'de> for Members<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            if name.starts_with('_') {
                map.next_value::<IgnoredAny>()?;
            } else {
                self.0.push((name, map.next_value()?));
            }
        }
        Ok(())
    }
}

/// A name that borrows from the body unless it holds an escape.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}
