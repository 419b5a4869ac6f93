//! Line charts in SVG. Knows nothing of what the lines mean.

pub(crate) mod axis;
pub(crate) mod svg;
