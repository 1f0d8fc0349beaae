DROP TABLE publications;
DROP TABLE cohort_members;
DROP TABLE cohorts;
DROP TABLE secrets;
