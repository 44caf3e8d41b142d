from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("core", "0004_resting_handles")]

    operations = [
        migrations.AddField("authtoken", "device_tag", models.CharField(db_default="", default="", max_length=32)),
    ]
