//! Charts of lines, in SVG. Knows nothing of what the lines are.

pub(crate) mod axis;
pub(crate) mod svg;
