from django.db.models import CharField, Model


class MyModel(Model):
    pass


class Other(Model):
    name = CharField(max_length=50)
