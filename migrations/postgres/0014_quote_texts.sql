-- An import asks whether a quote is there already, by its text.

CREATE INDEX quotes_text_idx ON quotes (community_id, substr(body, 1, 64));
