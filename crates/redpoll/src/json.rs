//! Values of your own types, kept as JSON text (feature `serde`).
//!
//! They are ordinary strings and fields, which clients of a server in any language can read and write.

use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::way::Way;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| {
        Error::of(
            ErrorKind::Decode,
            format!("ERR not to be written as JSON: {e}"),
        )
    })
}

fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| {
        Error::of(
            ErrorKind::Decode,
            format!("ERR not the JSON of this type: {e}"),
        )
    })
}

impl<W: Way> Db<W> {
    /// The value that is kept as JSON at a key; `None` if the key does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] if the string there is not the JSON of a `T`.
    ///
    /// ```
    /// # let db = redpoll::Db::open(redpoll::Config::default())?;
    /// db.set_json("point", &(1, 2.5))?;
    /// assert_eq!(db.get_json::<(i32, f64)>("point")?, Some((1, 2.5)));
    /// assert_eq!(db.get("point")?.unwrap(), "[1,2.5]");
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn get_json<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.get_with(key, from_json)?.transpose()
    }

    /// Stores a value as JSON at a key, whatever was there, without an expiry.
    pub fn set_json<T: Serialize + ?Sized>(&self, key: impl AsRef<[u8]>, value: &T) -> Result {
        self.set(key, to_json(value)?)
    }

    /// The value that is kept as JSON in a field of a hash; `None` if there is no such field. Errors are those of
    /// [`Db::get_json`].
    pub fn hget_json<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
        field: impl AsRef<[u8]>,
    ) -> Result<Option<T>> {
        self.hget(key, field)?
            .map(|text| from_json(&text))
            .transpose()
    }

    /// Stores a value as JSON in a field of a hash; whether the field is new.
    pub fn hset_json<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        field: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<bool> {
        self.hset(key, field, to_json(value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use std::collections::BTreeMap;

    #[test]
    fn values_come_back_and_what_is_none_is_an_error() {
        let db = Db::open(Config::default()).expect("a database");
        let value = BTreeMap::from([("a".to_owned(), vec![1, 2]), ("b".to_owned(), vec![])]);
        db.set_json("k", &value).expect("no error");
        assert_eq!(db.get_json("k"), Ok(Some(value.clone())));
        assert_eq!(db.get_json::<i32>("absent"), Ok(None));
        assert_eq!(
            db.get_json::<i32>("k").map_err(|e| e.kind()),
            Err(ErrorKind::Decode)
        );
        assert_eq!(db.hset_json("h", "f", &value), Ok(true));
        assert_eq!(db.hget_json("h", "f"), Ok(Some(value)));
        assert_eq!(
            db.hget_json::<i32>("k", "f").map_err(|e| e.kind()),
            Err(ErrorKind::WrongType)
        );
        // What JSON has no text for.
        let pairs = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(
            db.set_json("k", &pairs).map_err(|e| e.kind()),
            Err(ErrorKind::Decode)
        );
    }
}
