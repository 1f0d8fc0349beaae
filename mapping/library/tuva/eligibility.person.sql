-- The newer layout: persons in place of patients, plans, subscribers. One person
-- may have several products at once: "product" tells them apart, and "span_key"
-- their spans.
SELECT e.data_source, e.person_id AS patient_id, e.member_id, e.gender, e.race, e.birth_date, e.death_date, CAST(e.death_flag AS VARCHAR) AS death_flag,
       e.enrollment_start_date, e.enrollment_end_date, e.payer, e.payer_type,
       e.first_name, e.last_name, e.address, e.city, e.state, e.zip_code, e.phone,
       e.subscriber_id, lower(e.subscriber_relation) AS subscriber_relation, e.plan,
       e.group_id, e.group_name, e.middle_name, e.name_suffix, e.email, e.ethnicity,
       coalesce(e.payer, '') || '|' || coalesce(e.plan, '') AS product,
       coalesce(e.payer, '') || '|' || coalesce(e.plan, '') || '|' || coalesce(e.member_id, '') || '|' || coalesce(CAST(e.enrollment_end_date AS VARCHAR), '') AS span_key
FROM tuva.eligibility e
