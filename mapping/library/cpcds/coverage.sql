-- One row a coverage; the epoch's eve stands for no day.
SELECT c.coverage_id, c.member_id, c.subscriber_id, c.dependent_number, c.coverage_type, c.coverage_status,
       CAST(nullif(substr(CAST(c.start_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS start_day,
       CAST(nullif(substr(CAST(c.end_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS end_day,
       c.group_id, c.group_name, c.plan_identifier, c.plan_name, c.payer_identifier, c.relationship_to_subscriber
FROM cpcds.coverages c
