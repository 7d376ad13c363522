//! What a run may set of how JSON is written and read (`cjson`).

/// What the functions `encode_...` and `decode_...` set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonSettings {
    /// Sparse arrays become objects rather than errors.
    pub sparse_convert: bool,
    /// An array is sparse if its largest index is more than so many times its elements (0: never),
    pub sparse_ratio: i32,
    /// and larger than this.
    pub sparse_safe: i32,
    pub encode_max_depth: i32,
    pub decode_max_depth: i32,
    pub precision: i32,
    pub keep_buffer: bool,
    pub encode_invalid: Invalid,
    pub decode_invalid: bool,
}

/// How infinity and NaN are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    Error,
    AsIs,
    Null,
}

impl Default for JsonSettings {
    fn default() -> JsonSettings {
        JsonSettings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Error,
            decode_invalid: true,
        }
    }
}
