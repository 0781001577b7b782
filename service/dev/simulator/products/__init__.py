"""What each Planning Center product serves, and how its data is made up."""
