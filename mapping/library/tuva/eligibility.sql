-- The layout of 2023: a member has no subscriber, a span no plan.
SELECT e.*,
       CAST(NULL AS VARCHAR) AS subscriber_id, CAST(NULL AS VARCHAR) AS subscriber_relation, CAST(NULL AS VARCHAR) AS plan,
       CAST(NULL AS VARCHAR) AS group_id, CAST(NULL AS VARCHAR) AS group_name, CAST(NULL AS VARCHAR) AS middle_name, CAST(NULL AS VARCHAR) AS name_suffix,
       CAST(NULL AS VARCHAR) AS email, CAST(NULL AS VARCHAR) AS ethnicity, '' AS product, '' AS span_key
FROM tuva.eligibility e
