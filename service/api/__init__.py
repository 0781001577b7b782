"""Other people's APIs: how a page is asked for, who we are to them, how fast they let us go, what is tried again."""
