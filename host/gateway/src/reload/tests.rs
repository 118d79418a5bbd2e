mod builder;
mod control;
