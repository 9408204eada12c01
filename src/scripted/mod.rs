//! The scripted model server behind `journeyman model`.
