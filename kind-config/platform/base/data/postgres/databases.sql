-- The fifteen documented databases. Runs once, into an empty volume.
CREATE DATABASE db_auth;
CREATE DATABASE db_user_profile;
CREATE DATABASE db_transactions;
CREATE DATABASE db_analytics;
CREATE DATABASE db_compliance;
CREATE DATABASE db_documents;
CREATE DATABASE db_advice;
CREATE DATABASE db_ai_agent;
CREATE DATABASE db_business_intelligence;
CREATE DATABASE db_fraud_detection;
CREATE DATABASE db_predictive_analytics;
CREATE DATABASE db_monitoring;
CREATE DATABASE consent;
CREATE DATABASE partner;
CREATE DATABASE invoices;
