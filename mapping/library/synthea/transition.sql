SELECT t.patient, t.memberid AS member_id, CAST(t.start_date AS TIMESTAMPTZ) AS starts, CAST(t.end_date AS TIMESTAMPTZ) AS ends,
       t.payer, t.secondary_payer, t.plan_ownership AS ownership, t.owner_name AS owner
FROM synthea.payer_transitions t
