-- name: choice-add
INSERT INTO member_choices (purpose, client_id, member, choice, noted) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (purpose, client_id, member) DO UPDATE SET choice = excluded.choice, noted = excluded.noted;

-- name: choice-drop
DELETE FROM member_choices WHERE purpose = ?;

-- name: choice-list
SELECT client_id, member, choice FROM member_choices WHERE purpose = ? ORDER BY member, client_id;

-- name: choice-counts
SELECT c.purpose, c.client_id, c.choice, count(*) AS members, s.changed
FROM member_choices c JOIN member_choice_sets s ON s.purpose = c.purpose
GROUP BY c.purpose, c.client_id, c.choice, s.changed ORDER BY c.purpose, c.client_id, c.choice;

-- name: choice-set
INSERT INTO member_choice_sets (purpose, revision, changed) VALUES (?, 1, ?)
ON CONFLICT (purpose) DO UPDATE SET revision = member_choice_sets.revision + 1, changed = excluded.changed;

-- name: choice-revision
SELECT coalesce(max(revision), 0) FROM member_choice_sets WHERE purpose = ?;
