"""Episodes from elsewhere, and for elsewhere: Minari data sets, arrays of other projects, videos."""
