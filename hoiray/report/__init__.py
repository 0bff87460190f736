"""What a person looks at: contact sheets, facts of a data set, reports."""
