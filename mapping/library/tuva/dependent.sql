-- The subscriber of a member who is not one, as far as the tables know him: by
-- the number, and where he is a member himself, by name.
SELECT d.data_source, d.patient_id, d.subscriber_id, d.subscriber_relation, s.first_name, s.last_name, s.gender, s.birth_date
FROM (SELECT e.data_source, e.patient_id, e.subscriber_id, max(e.subscriber_relation) AS subscriber_relation
      FROM eligibility e
      WHERE e.subscriber_id IS NOT NULL AND e.subscriber_relation NOT IN ('self', '18')
      GROUP BY e.data_source, e.patient_id, e.subscriber_id) d
LEFT JOIN (SELECT e.data_source, e.member_id, e.first_name, e.last_name, e.gender, e.birth_date,
                  row_number() OVER (PARTITION BY e.data_source, e.member_id ORDER BY e.enrollment_start_date DESC, e.span_key) AS recency
           FROM eligibility e WHERE e.subscriber_relation IN ('self', '18')) s
  ON s.data_source = d.data_source AND s.member_id = d.subscriber_id AND s.recency = 1
