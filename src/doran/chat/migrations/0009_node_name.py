from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0008_unread")]

    operations = [
        migrations.AddField("node", "name", models.CharField(db_default="", max_length=64)),
    ]
