SELECT t.patient, t.memberid AS member_id, CAST(t.start_year AS TIMESTAMPTZ) AS starts, CAST(t.end_year AS TIMESTAMPTZ) AS ends,
       t.payer, t.secondary_payer, t.ownership, t.ownername AS owner
FROM synthea.payer_transitions t
